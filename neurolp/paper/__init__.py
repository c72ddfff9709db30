"""The paper's linear and bounded forms, their learning rules and their defects."""
