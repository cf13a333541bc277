"""The adapters: what the ports do on a real device, each on a reactor that is passed in."""
