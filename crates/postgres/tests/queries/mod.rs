//! What a query in SQL can do, and what it cannot: as the reader, and as a superuser whom only the other walls hold.

mod bounds;
mod escapes;
mod functions;
mod lookups;
mod readers;
mod sessions;
mod values;
mod world;
