// SPDX-License-Identifier: Apache-2.0

//! Finds the Secret. The only step that looks something up.

use crate::{
    api::ManagerCredential,
    controller::{Context, Subject, parent, trouble::Stop},
    kubernetes::secrets::SecretData,
};

pub(super) async fn secret(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Result<SecretData, Stop> {
    parent::secret(&subject.node, &credential.spec.authentication.secret_ref.name, context).await
}
