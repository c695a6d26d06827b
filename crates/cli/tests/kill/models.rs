//! Servers with read models are killed at random moments under load, while projections advance, while they are rebuilt
//! and while they are swapped. Each time, what lies there is read without any server: the rows of every build together with
//! where it stands, as of one moment. They have to be what a fold of the log up to exactly there gives, which knows nothing
//! of the engines: every event once, in order, none left out.
//!
//! A short seeded slice runs with the tests. A campaign: `cargo x kill --models --kills 1000 --seed 7`.

mod campaign;
mod door;
mod fold;
mod judge;
mod load;
mod stage;
mod world;
