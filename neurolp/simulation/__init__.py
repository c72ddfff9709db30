"""The main loop and what hangs on it: processes, monitors, checkpoints."""
