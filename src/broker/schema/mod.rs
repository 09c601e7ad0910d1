//! The one form of a model request, in each dialect: every member is named, or the request is refused.

mod messages;
mod request;
mod responses;
#[cfg(test)]
mod tests;

pub(super) use request::{Checked, Rebuilt, Size, check};
