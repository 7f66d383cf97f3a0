//! One battery of tests over every entry of the table.
