//! What it may touch: policy as data, host probe, stub, layers, status.
//!
//! The harness says what a payload may touch ([`SandboxPolicy`]), starts the stub, and gets back a [`Sandbox`]
//! only when every layer is in force; PID 1 inside then waits for the word to execute the payload. The stub
//! confines itself while it is single-threaded, so nothing here runs between fork and exec of a threaded
//! program. What this does not do: judge what the payload wrote (workspace, inspection), or observe
//! what the payload executes.

mod arguments;
mod birth;
mod call_lists;
mod caller;
mod calls;
mod companion;
mod elsewhere;
mod entrances;
mod establish;
mod filter;
mod grouped;
mod handed;
mod init;
mod layers;
mod network;
mod observe;
mod order;
mod path_calls;
mod places;
mod policy;
mod probe;
mod refusals;
mod rights;
mod root;
mod run;
mod sources;
mod standing;
pub mod stub;
mod sys;
mod wants;
mod zygote;

pub use establish::{Sandbox, SandboxError, Stdio, StubProgram};
pub use grouped::{Hold, holds};
pub use policy::{Bind, Grouping, INSIDE_HOME, INSIDE_PATH, LISTENER_PORT, Purpose, SandboxPolicy};
pub use probe::{DoctorRow, ProbeError, doctor, probe, probe_with};
pub use zygote::{Expected, expect_another, expect_as, expected_uid, prepare as prepare_zygote};
