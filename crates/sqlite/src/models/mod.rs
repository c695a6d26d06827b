pub(crate) mod batch;
mod catalogue;
mod files;
pub(crate) mod handlers;
mod paths;
mod text;
mod values;
