// SPDX-License-Identifier: Apache-2.0

//! Prints the OpenAPI description of the contract: `cargo run -p digital-messaging-contract > contract/openapi.yaml`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use digital_messaging_contract::openapi;

fn main() -> ExitCode {
    let printed = match openapi::to_yaml() {
        Ok(yaml) => io::stdout().write_all(yaml.as_bytes()),
        Err(error) => Err(io::Error::other(error)),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}
