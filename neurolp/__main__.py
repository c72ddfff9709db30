"""``python -m neurolp`` is the ``neurolp`` command."""

from neurolp.cli import main

if __name__ == "__main__":
    main()
