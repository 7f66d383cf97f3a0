//! Stdout, whose reader may leave at any time (`athena config | head`): that is no error.

use std::io::{self, ErrorKind, Write as _};

use super::Failure;

/// Writes all of it. Gives whether somebody still reads.
pub fn print(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}
