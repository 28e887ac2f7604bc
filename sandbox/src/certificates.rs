//! The throw-away certificates of one control plane.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The key that signs service account tokens, the server's certificate and those of its clients, in one folder.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) server_key: PathBuf,
    pub(crate) service_account_key: PathBuf,
    pub(crate) service_account_public_key: PathBuf,
    pub(crate) administrator: Identity,
    pub(crate) controllers: Identity,
    pub(crate) authority_pem: String,
}

/// A client certificate with its key, both PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn issue(folder: &Path) -> Result<Self> {
        fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;

        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "sandbox-authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(vec![
            "localhost".to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default.svc".to_owned(),
            "127.0.0.1".to_owned(),
        ])?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let server = sign(server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?;

        let mut administrator = CertificateParams::default();
        administrator
            .distinguished_name
            .push(DnType::CommonName, "sandbox-administrator");
        administrator
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        let administrator = sign(administrator, ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;

        // The API server has a role for this name.
        let mut controllers = CertificateParams::default();
        controllers
            .distinguished_name
            .push(DnType::CommonName, "system:kube-controller-manager");
        let controllers = sign(controllers, ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;

        let service_account_key = KeyPair::generate()?;
        let write = |name: &str, text: &str| write_private(&folder.join(name), text);
        Ok(Self {
            authority: write("authority.crt", &authority_pem)?,
            server: write("server.crt", &server.certificate)?,
            server_key: write("server.key", &server.key)?,
            service_account_key: write("service-account.key", &service_account_key.serialize_pem())?,
            service_account_public_key: write("service-account.pub", &service_account_key.public_key_pem())?,
            administrator,
            controllers,
            authority_pem,
        })
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
