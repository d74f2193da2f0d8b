"""An emulated Android device behind a real adb server. The product does not know that it exists."""
