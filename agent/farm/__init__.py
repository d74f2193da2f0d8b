"""The device farm: jobs for leased devices, on this host or on many."""
