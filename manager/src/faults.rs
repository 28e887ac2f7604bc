//! Misbehaviour on demand. Test-only.
