//! The contract at run time: every method and message, from the descriptors that the server itself reflects.

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use std::sync::OnceLock;

/// Every file of the contract.
pub fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(callboard_proto::DESCRIPTORS).expect("our own descriptors can be read"))
}

/// Every method of our own services.
pub fn methods() -> Vec<MethodDescriptor> {
    let ours = pool().services().filter(|service| service.package_name() == "callboard.v1");
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// A method by its name; names are unique over all services.
pub fn method(name: &str) -> MethodDescriptor {
    let named: Vec<_> = methods().into_iter().filter(|method| method.name() == name).collect();
    let [method] = named.as_slice() else { panic!("{} methods are called {name}", named.len()) };
    method.clone()
}

/// A message written in protobuf's text format: `task { type: "t" }`.
#[track_caller]
pub fn from_text(descriptor: MessageDescriptor, text: &str) -> DynamicMessage {
    DynamicMessage::parse_text_format(descriptor.clone(), text)
        .unwrap_or_else(|error| panic!("no {} in text format: {error}\n{text:.200}", descriptor.name()))
}
