//! What a builder of the plan is watched by.

use offload_client::{Printable, snapshot::Warning};

use super::{super::candidates, DEFAULT_PORT, PlannedBuilder, host_keys::host_keys, own_uri};
use crate::{
    nix::Imported,
    target::{Address, BuilderSpec, SpecKind, TargetId, TargetSpec},
};

pub(super) fn of(
    name: &Printable,
    builder: PlannedBuilder<'_>,
    imported: &Imported,
    warnings: &mut Vec<Warning>,
) -> TargetSpec {
    let (host_keys, warning) = host_keys(name, &builder);
    warnings.extend(warning);
    let PlannedBuilder { uri, entry, .. } = builder;
    let address = |host: &str| Address {
        host: host.to_owned(),
        port: None,
    };
    let port = uri.port.unwrap_or(DEFAULT_PORT);
    let listed = entry.map(|entry| entry.addresses.as_slice());
    let other = entry.and_then(own_uri).map(|own| address(&own.host));
    let chosen = |own: Option<&Vec<String>>, found: &[String]| -> Vec<Printable> {
        let own = own.filter(|own| !own.is_empty());
        own.map_or(found, Vec::as_slice)
            .iter()
            .map(Into::into)
            .collect()
    };
    TargetSpec {
        id: TargetId::builder(name),
        uri: builder.text.into(),
        addresses: candidates(
            address(&uri.host),
            builder.place.is_some(),
            other,
            listed.unwrap_or_default(),
            port,
        ),
        kind: SpecKind::Builder(BuilderSpec {
            protocol: uri.protocol,
            host: uri.host,
            user: uri.user,
            port: uri.port,
            params: uri.params,
            ssh_options: imported.environment.ssh_options(imported.version),
            has_agent: imported.environment.has_agent(),
            ssh_key: entry
                .and_then(|entry| entry.ssh_key.clone())
                .or(builder.ssh_key),
            host_keys,
            systems: chosen(entry.map(|entry| &entry.systems), &builder.systems),
            features: chosen(entry.map(|entry| &entry.features), &builder.features),
            mandatory_features: builder.mandatory_features,
            max_jobs: builder.max_jobs,
            speed_factor: builder.speed_factor,
            dispatch: builder.dispatch,
        }),
    }
}
