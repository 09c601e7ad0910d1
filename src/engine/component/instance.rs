//! One instance of a module: its own memory, and bounds on everything that it does.

use wasmtime::{ResourceLimiter, Store, Trap};

use super::bindings::{Adapter as Bound, AdapterPre, seam};
use super::limits::{FUEL, MEMORIES, MEMORY_BYTES, OUTPUT_BYTES, PARTS, TABLE_ENTRIES, TICK, TICKS};
use super::machine::Machine;
use crate::engine::trouble::{Trouble, TroubleKind};

/// What an instance holds back, and whether it had to.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    refused_memory: bool,
}

/// An instance. After its first trouble it is not to be asked again.
pub struct Instance {
    store: Store<Bounds>,
    bound: Bound,
    machine: &'static Machine,
    pub(super) measures: Measures,
}

/// What one call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) fuel: u64,
    pub(super) ticks: u64,
}

impl Measures {
    const FULL: Self = Self { fuel: FUEL, ticks: TICKS };

    /// Full measures for the next call.
    fn arm(self, store: &mut Store<Bounds>) -> wasmtime::Result<()> {
        store.set_epoch_deadline(self.ticks);
        store.set_fuel(self.fuel)
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, _now: usize, wanted: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        if wanted <= MEMORY_BYTES {
            return Ok(true);
        }
        self.refused_memory = true;
        // Not "no" but an end: nobody has to find out what a module does that is told no.
        Err(wasmtime::Error::msg("more memory than a module gets"))
    }

    fn table_growing(&mut self, _now: usize, wanted: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        if wanted <= TABLE_ENTRIES {
            return Ok(true);
        }
        self.refused_memory = true;
        Err(wasmtime::Error::msg("a larger table than a module gets"))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

impl Instance {
    /// A fresh one. Starting it may run the module's own code, within the same bounds.
    pub(super) fn new(machine: &'static Machine, pre: &AdapterPre<Bounds>) -> Result<Self, Trouble> {
        let mut store = Store::new(&machine.engine, Bounds::default());
        store.limiter(|bounds| bounds);
        store.set_hostcall_fuel(OUTPUT_BYTES);
        let ready = Measures::FULL.arm(&mut store);
        let busy = machine.busy();
        let bound = ready.and_then(|()| pre.instantiate(&mut store));
        drop(busy);
        match bound {
            Ok(bound) => Ok(Self { store, bound, machine, measures: Measures::FULL }),
            Err(error) => Err(match named(&error, store.data()) {
                // Nothing was answered yet: what cannot be put together has another form than the page says.
                Trouble { kind: TroubleKind::Garbage, what } => misfit(&what),
                other => other,
            }),
        }
    }

    /// One call, within bounds.
    pub(super) fn call<T>(
        &mut self,
        what: impl FnOnce(&seam::Guest, &mut Store<Bounds>) -> wasmtime::Result<T>,
    ) -> Result<T, Trouble> {
        let answer = self.measures.arm(&mut self.store).and_then(|()| {
            let _busy = self.machine.busy();
            what(self.bound.cto_adapter_seam(), &mut self.store)
        });
        answer.map_err(|error| named(&error, self.store.data()))
    }
}

/// It is a component, and not one of this seam.
pub(super) fn misfit(what: &str) -> Trouble {
    TroubleKind::Load.because(format!("it does not fit engines/adapter.wit: {what}"))
}

/// What an error of the machine was.
fn named(error: &wasmtime::Error, bounds: &Bounds) -> Trouble {
    if bounds.refused_memory {
        let most = MEMORY_BYTES / (1024 * 1024);
        return TroubleKind::Memory.because(format!("it wanted more than its {most} MiB"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => TroubleKind::Fuel.because(format!("more than {FUEL} in one call")),
        Some(Trap::Interrupt) => {
            let most = TICK.as_millis() * u128::from(TICKS);
            TroubleKind::Time.because(format!("more than {most} ms in one call"))
        }
        Some(trap) => TroubleKind::Trap.because(trap.to_string()),
        // What is left are answers that cannot be read: lists and texts outside of its memory, or too long.
        None => {
            let text = format!("{error:#}");
            let kind = if text.contains("fuel allocated for hostcalls") {
                TroubleKind::Output
            } else {
                TroubleKind::Garbage
            };
            kind.because(crate::vocab::shown(&text))
        }
    }
}
