//! The decision from every side: the rule over all vectors, each gate over its facts, the digests, the permit.

mod checked;
mod gates;
mod matrix;
mod permit;
mod request;
mod samples;
mod spend;
mod vectors;
