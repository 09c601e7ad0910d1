//! `cto engine list`: the registered engines and where their programs are.

use super::Exit;
use super::args::ListArgs;
use super::output::{Output, Tone};
use super::problem::Problem;
use super::table::Table;
use crate::engine::{Catalog, Discover};
use crate::home::Home;

/// Every registered engine as a table, or one JSON object a line.
pub(super) fn list(args: &ListArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let config = home.load_config()?;
    let catalog = Catalog::load(Some(&home.engines_dir()))?;
    let mut table = Table::new(&["engine", "trust", "stage", "program", "endpoint", "model"]);
    for manifest in catalog.iter() {
        let own = config.engine(&manifest.id);
        let program = own.program.as_ref().map(|path| path.display().to_string());
        let model = own.model.clone().or_else(|| manifest.default_model.clone());
        if args.json {
            output.json(&serde_json::json!({
                "engine": manifest.id, "gated": manifest.gated, "adapter": manifest.adapter,
                "manifest": manifest.digest, "stage": manifest.gated.then_some("unproven"),
                "program": program, "endpoint": own.endpoint, "model": model,
            }));
            continue;
        }
        let (trust, stage) = if manifest.gated {
            ((Tone::Warn, "gated"), "unproven")
        } else {
            ((Tone::Good, "built-in"), "-")
        };
        let found = program.unwrap_or_else(|| default_place(manifest.program.discover).into());
        table.row([
            (Tone::Strong, manifest.id.to_string()),
            (trust.0, trust.1.into()),
            (Tone::Plain, stage.into()),
            (Tone::Plain, found),
            (Tone::Plain, own.endpoint.unwrap_or_else(|| "-".into())),
            (Tone::Plain, model.unwrap_or_else(|| "-".into())),
        ]);
    }
    if !args.json {
        for line in table.lines() {
            output.say(&line);
        }
    }
    Ok(Exit::Pass)
}

/// Where a program is looked for when the configuration names none.
const fn default_place(discover: Discover) -> &'static str {
    match discover {
        Discover::Beside => "(comes with cto)",
        Discover::Configured => "(not configured)",
        Discover::ConfiguredOrPath => "(from PATH)",
    }
}
