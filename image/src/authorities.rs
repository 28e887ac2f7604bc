// SPDX-License-Identifier: Apache-2.0

//! The certificate authorities that the public web trusts, as a bundle that TLS libraries find by its path.

use base64::{Engine, engine::general_purpose::STANDARD};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Where distributions keep the bundle, and libraries look for it.
pub(crate) const PATH: &str = "etc/ssl/certs/ca-certificates.crt";

/// The bundle, PEM.
pub(crate) fn bundle() -> String {
    TLS_SERVER_ROOT_CERTS.iter().map(|certificate| pem(certificate)).collect()
}

fn pem(certificate: &[u8]) -> String {
    // 48 bytes make a line of 64 characters.
    let lines: String = certificate.chunks(48).map(|bytes| STANDARD.encode(bytes) + "\n").collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}
