//! Settings from code and environment. What is given in code wins.

use tonic::transport::Uri;

use crate::{Error, Result};

pub(crate) const ADDRESS_VARIABLE: &str = "CALLBOARD_ADDRESS";
pub(crate) const NAMESPACE_VARIABLE: &str = "CALLBOARD_NAMESPACE";
pub(crate) const AGENT_NAME_VARIABLE: &str = "CALLBOARD_AGENT_NAME";
pub(crate) const HEALTH_VARIABLE: &str = "CALLBOARD_HEALTH";

const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7470";
const DEFAULT_NAMESPACE: &str = "default";

/// The value of a variable; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The addresses to try in turn, from code, the environment, or the default.
pub(crate) fn addresses(given: Option<&str>) -> Result<Vec<Uri>> {
    match given {
        Some(given) => parse_addresses(given),
        None => parse_addresses(variable(ADDRESS_VARIABLE).as_deref().unwrap_or(DEFAULT_ADDRESS)),
    }
}

/// The namespace, from code, the environment, or the default.
pub(crate) fn namespace(given: Option<String>) -> String {
    given.or_else(|| variable(NAMESPACE_VARIABLE)).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
}

fn parse_addresses(list: &str) -> Result<Vec<Uri>> {
    let parts: Vec<&str> = list.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(Error::invalid("address", "address is empty: give an http:// or https:// URL"));
    }
    parts.into_iter().map(parse_address).collect()
}

/// One address: a URL with one of the two schemes and a host.
pub(crate) fn parse_address(address: &str) -> Result<Uri> {
    let refused = |fault: &str| {
        let remedy = "give a URL like http://127.0.0.1:7470 or https://callboard.example:7470";
        Error::invalid("address", format!("address `{address}` {fault}: {remedy}"))
    };
    let scheme_known = ["http://", "https://"].iter().any(|scheme| address.starts_with(scheme));
    if !scheme_known {
        return Err(refused("has no http:// or https:// scheme"));
    }
    let uri: Uri = address.parse().map_err(|_| refused("is not a URL"))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(refused("has no host"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_in_its_order() {
        let uris = parse_addresses("http://a:1, https://b:2 ,").unwrap();
        assert_eq!(uris.iter().map(ToString::to_string).collect::<Vec<_>>(), ["http://a:1/", "https://b:2/"]);
    }

    #[test]
    fn bad_addresses_are_named() {
        for bad in ["localhost:7470", "ftp://a", "127.0.0.1", "http://", "tcp://x:1"] {
            let error = parse_addresses(bad).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument(_)), "{bad}");
            assert!(error.to_string().contains(bad), "{error}");
        }
        assert!(parse_addresses(" , ").is_err());
    }
}
