//! The acceptance rows of seed 0 (K, the task API), seed 1 (R, the registry), and seed 2 (G, plain login) that need no gateway.

mod login;
mod registry;
mod task;
