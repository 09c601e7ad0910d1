//! `cto spend`: caps, and what is reserved, unsettled and settled, by run, thread, day and model. It reads only.

use super::Exit;
use super::args::SpendArgs;
use super::output::{Line, Output, Tone};
use super::problem::Problem;
use super::table::Table;
use crate::broker::spend::{self, Counted, Group, Selection, Statement};
use crate::contract::limits::day_cap;
use crate::home::Home;
use crate::store::Store;
use crate::vocab::{Day, MicroUsd, RunId, ThreadId, Timestamp};

/// The sums as tables, or one JSON object a line.
pub(super) fn spend(args: &SpendArgs, output: &mut Output) -> Result<Exit, Problem> {
    output.for_programs(args.json);
    let home = Home::open()?;
    let of = selection(args)?;
    let statement = Statement::read(home.state())?;
    let store = Store::open(home.state())?;
    // A run that cannot be looked at is taken for one that works: what it holds stays reserved.
    let lives = |run: &RunId| store.lives(run).unwrap_or(true);
    if args.json {
        for group in Group::ALL {
            for line in statement.lines(group, &of, &lives) {
                output.json(&document(group, &line));
            }
        }
        return Ok(Exit::Pass);
    }
    let today = Timestamp::now().day();
    let day_cap = home.load_config()?.spend.day_micro_usd.unwrap_or_else(day_cap);
    let counted = statement.counted_on(today);
    let left = day_cap.left_after(counted);
    let head = format!("{today} (UTC): {counted} of {day_cap} dollars, {left} left");
    output.say(&Line::new().add(Tone::Strong, head));
    match statement.since() {
        Some(since) => {
            let since = since.to_string();
            let since = since.get(..19).unwrap_or(&since).replace('T', " ");
            output.say(
                &Line::new().add(Tone::Quiet, format!("counted since {since} (UTC); amounts are dollars")),
            );
        }
        None => output.say(&Line::new().add(Tone::Quiet, "nothing was ever counted here")),
    }
    for group in Group::ALL {
        show(group, &statement.lines(group, &of, &lives), output);
    }
    Ok(Exit::Pass)
}

fn selection(args: &SpendArgs) -> Result<Selection, Problem> {
    let usage = |what: &str, remedy: &str| Problem::usage(what.to_owned(), remedy.to_owned());
    let run = args.run.as_ref().map(|text| RunId::parse(text.as_str())).transpose();
    let thread = args.thread.as_ref().map(|text| ThreadId::parse(text.as_str())).transpose();
    let day = args.day.as_ref().map(|text| text.parse::<Day>()).transpose();
    Ok(Selection {
        run: run.map_err(|error| usage(&error.to_string(), "write the whole id; `cto runs` lists them"))?,
        thread: thread.map_err(|error| usage(&error.to_string(), "write it as `cto spend` shows it"))?,
        day: day.map_err(|_| usage("the day is not one", "write it like 2026-03-01, in UTC"))?,
    })
}

fn document(group: Group, line: &spend::Line) -> serde_json::Value {
    let Counted {
        reserved_micro_usd,
        unsettled_micro_usd,
        settled_micro_usd,
        over_reservation_micro_usd,
        requests,
    } = line.counted;
    serde_json::json!({
        "by": group.as_str(), "name": line.name, "cap_micro_usd": line.cap, "requests": requests,
        "reserved_micro_usd": reserved_micro_usd, "unsettled_micro_usd": unsettled_micro_usd,
        "settled_micro_usd": settled_micro_usd, "over_reservation_micro_usd": over_reservation_micro_usd,
        "left_micro_usd": line.cap.map(|cap| cap.left_after(line.counted.total())),
    })
}

fn show(group: Group, lines: &[spend::Line], output: &mut Output) {
    if lines.is_empty() {
        return;
    }
    output.say(&Line::new());
    let heads = ["cap", "reserved", "unsettled", "settled", "over reservation", "left", "requests"];
    let mut table = Table::new(&[&[group.as_str()], &heads[..]].concat());
    for line in lines {
        let Counted {
            reserved_micro_usd,
            unsettled_micro_usd,
            settled_micro_usd,
            over_reservation_micro_usd,
            requests,
        } = line.counted;
        let left = line.cap.map(|cap| cap.left_after(line.counted.total()));
        let dollars = |amount: Option<MicroUsd>| amount.map_or_else(|| "-".to_owned(), |a| a.to_string());
        let noted = |amount: MicroUsd| if amount == MicroUsd::ZERO { Tone::Quiet } else { Tone::Warn };
        table.row([
            (Tone::Strong, line.name.clone()),
            (Tone::Plain, dollars(line.cap)),
            (Tone::Plain, reserved_micro_usd.to_string()),
            (noted(unsettled_micro_usd), unsettled_micro_usd.to_string()),
            (Tone::Plain, settled_micro_usd.to_string()),
            (noted(over_reservation_micro_usd), over_reservation_micro_usd.to_string()),
            (Tone::Plain, dollars(left)),
            (Tone::Quiet, requests.to_string()),
        ]);
    }
    for line in table.lines() {
        output.say(&line);
    }
}
