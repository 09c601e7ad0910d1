//! The machine that modules run on: one a process, with a clock that ticks only while a call is under way.
//!
//! INVARIANT: everything that the configuration switches off is a way for a module to be different on two machines, or to
//! be more than a function of what it was told: threads, relaxed vectors, other number formats of "not a number".

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::limits::{INSTANCES, MEMORIES, MEMORY_BYTES, PARTS, STACK_BYTES, TABLE_ENTRIES, TICK};
use crate::engine::trouble::{Trouble, TroubleKind};

/// The machine.
pub(super) struct Machine {
    pub(super) engine: Engine,
    clock: &'static Clock,
}

/// Ticks while somebody is busy.
struct Clock {
    busy: AtomicU32,
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

/// A call under way; dropped when it is over.
pub(super) struct Busy(&'static Clock);

static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
static CLOCK: Clock =
    Clock { busy: AtomicU32::new(0), parked: AtomicBool::new(false), thread: OnceLock::new() };

/// The machine of this process, made when it is first needed.
pub(super) fn machine() -> Result<&'static Machine, Trouble> {
    let made = MACHINE.get_or_init(|| Machine::new().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|why| TroubleKind::Load.because(format!("this machine runs no modules: {why}")))
}

impl Machine {
    fn new() -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let ticking = engine.clone();
        let clock = std::thread::Builder::new().name("module-clock".to_owned());
        let spawned = clock.spawn(move || CLOCK.run(&ticking))?;
        CLOCK.thread.get_or_init(|| spawned.thread().clone());
        Ok(Self { engine, clock: &CLOCK })
    }

    /// Says that a call begins: from here on time passes for it.
    pub(super) fn busy(&self) -> Busy {
        self.clock.busy.fetch_add(1, Ordering::SeqCst);
        if self.clock.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.clock.thread.get()
        {
            thread.unpark();
        }
        Busy(self.clock)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Clock {
    /// Ends with the process.
    fn run(&self, engine: &Engine) {
        loop {
            std::thread::sleep(TICK);
            engine.increment_epoch();
            if self.busy.load(Ordering::SeqCst) == 0 {
                self.parked.store(true, Ordering::SeqCst);
                // Whoever became busy between the two lines has swapped it back, or does so now and wakes this thread.
                while self.busy.load(Ordering::SeqCst) == 0 && self.parked.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.parked.store(false, Ordering::SeqCst);
            }
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.consume_fuel(true).epoch_interruption(true).max_wasm_stack(STACK_BYTES);
    // No signal handlers in a program that has some of its own: bounds are checked by the code itself.
    config.signals_based_traps(false);
    config.memory_reservation(MEMORY_BYTES as u64).memory_guard_size(0).memory_may_move(false);
    config.wasm_relaxed_simd(false).wasm_multi_memory(false).wasm_memory64(false).wasm_tail_call(false);
    config.cranelift_nan_canonicalization(true);
    config.generate_address_map(false).native_unwind_info(false);
    let mut pool = PoolingAllocationConfig::default();
    let parts = u32::try_from(PARTS).unwrap_or(u32::MAX);
    let memories = u32::try_from(MEMORIES).unwrap_or(u32::MAX);
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * parts)
        .max_core_instances_per_component(parts)
        .total_memories(INSTANCES * memories)
        .max_memories_per_component(memories)
        .total_tables(INSTANCES * parts)
        .max_tables_per_component(parts)
        .max_memory_size(MEMORY_BYTES)
        .table_elements(TABLE_ENTRIES);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
