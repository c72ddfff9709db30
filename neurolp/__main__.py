"""``python -m neurolp`` is the ``neurolp`` command."""

from neurolp.cli.app import main

if __name__ == "__main__":
    main()
