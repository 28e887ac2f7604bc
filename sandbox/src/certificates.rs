// SPDX-License-Identifier: Apache-2.0

//! The throw-away certificates of one control plane.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// What an API server reads, in one folder, and the authority that vouches for it and for its clients.
pub struct Certificates {
    /// The authority's certificate, `authority.crt`.
    pub authority: PathBuf,
    /// The API server's certificate, `server.crt`.
    pub server: PathBuf,
    /// Its key, `server.key`.
    pub server_key: PathBuf,
    /// The key that signs service account tokens, `service-account.key`.
    pub service_account_key: PathBuf,
    /// The key that verifies them, `service-account.pub`.
    pub service_account_public_key: PathBuf,
    /// The authority's certificate, PEM.
    pub authority_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A client certificate with its key, both PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Certificates {
    /// Issues them into a new folder, the server's for these names and addresses.
    ///
    /// # Errors
    /// When the folder exists already, or a name is none.
    pub fn issue(folder: &Path, server_names: &[&str]) -> Result<Self> {
        fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;

        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "sandbox-authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(server_names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let server = sign(server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?;

        let service_account_key = KeyPair::generate()?;
        let write = |name: &str, text: &str| write_private(&folder.join(name), text);
        Ok(Self {
            authority: write("authority.crt", &authority_pem)?,
            server: write("server.crt", &server.certificate)?,
            server_key: write("server.key", &server.key)?,
            service_account_key: write("service-account.key", &service_account_key.serialize_pem())?,
            service_account_public_key: write("service-account.pub", &service_account_key.public_key_pem())?,
            authority_pem,
            issuer,
        })
    }

    /// Issues a certificate for a client, with the user name and group that the API server reads from it.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        let mut client = CertificateParams::default();
        client.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            client.distinguished_name.push(DnType::OrganizationName, group);
        }
        sign(client, ExtendedKeyUsagePurpose::ClientAuth, &self.issuer)
    }
}

fn sign(mut params: CertificateParams, usage: ExtendedKeyUsagePurpose, issuer: &Issuer<'_, KeyPair>) -> Result<Identity> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Identity {
        certificate,
        key: key.serialize_pem(),
    })
}

/// Writes a file that only this user can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<PathBuf> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path.to_owned())
}
