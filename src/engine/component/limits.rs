//! What a module may use and say, each with its unit. A line of an honest one needs a thousandth of it.

use std::time::Duration;

/// Bytes of the largest module that is installed or loaded. Compiling is bounded by this alone; the sample has 44 KB.
pub const MODULE_BYTES: u64 = 4 * 1024 * 1024;
/// Fuel of one call, about one unit an instruction: a tenth of a second of work, or some.
pub(super) const FUEL: u64 = 100_000_000;
/// How often the clock of the machine ticks while a call is under way.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Ticks that a call may take: five seconds. Fuel ends a busy call sooner; this ends what costs time and no fuel, and has
/// to leave an honest call of a busy machine alone.
pub(super) const TICKS: u64 = 500;
/// Bytes of one linear memory.
pub(super) const MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Linear memories of one instance.
pub(super) const MEMORIES: usize = 2;
/// Entries of one table.
pub(super) const TABLE_ENTRIES: usize = 20_000;
/// Core instances and tables of one instance.
pub(super) const PARTS: usize = 8;
/// Instances of this process that live at the same time: one a run, one a plan, and what tests do beside each other.
pub(super) const INSTANCES: u32 = 64;
/// Bytes of the stack of one call.
pub(super) const STACK_BYTES: usize = 512 * 1024;
/// Bytes that one call may have copied out, names and lists among them.
pub(super) const OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// Steps of one call.
pub(super) const STEPS: usize = 1_000;
/// Values of one event.
pub(super) const FIELDS: usize = 100;
/// Bytes of a field's name.
pub(super) const NAME_BYTES: usize = 64;
/// Bytes that one call may send to the engine.
pub(super) const SEND_BYTES: usize = 1024 * 1024;
/// Paths of one wish.
pub(super) const WISH_PATHS: usize = 1_000;
/// Bytes of a thread's name, and of a refusal or recommendation.
pub(super) const WORDS_BYTES: usize = 8_000;
/// Arguments of a plan.
pub(super) const ARGUMENTS: usize = 256;
/// Bytes of all arguments and variables of a plan.
pub(super) const ARGUMENT_BYTES: usize = 128 * 1024;
/// Variables of a plan.
pub(super) const VARIABLES: usize = 64;
/// Files and folders of a plan.
pub(super) const FILES: usize = 256;
/// Bytes of a path in a plan.
pub(super) const PATH_BYTES: usize = 512;
