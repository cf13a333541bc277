"""The configuration: settings, and the reader that makes them from an INI file."""
