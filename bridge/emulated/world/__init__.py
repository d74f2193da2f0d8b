"""The scripted world of an emulated device: an app, its screens, their pixels, the logs they write."""
