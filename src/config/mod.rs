//! The configuration as one typed value; errors with file, line and remedy.
