//! Integration tests on a real API server, one module a behaviour.

mod schema;
