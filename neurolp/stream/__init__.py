"""The recurrent predictor of streams: sensors, hidden nodes, readouts, predictions."""
