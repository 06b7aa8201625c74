"""Open hw1.ipynb in JupyterLab, with the user's settings, but for this machine alone.

Whatever these say, the server listens on 127.0.0.1 and asks for a token. That is not
given on a command line, where other users of the machine could read it.
"""

import secrets

from jupyterlab.labapp import main

token = secrets.token_hex()
print(f"The browser opens by itself. If it asks for a token: {token}", flush=True)
options = "--allow-root --ServerApp.root_dir=. --ServerApp.ip=127.0.0.1"  # root: in CI
main(["hw1.ipynb", *options.split(), f"--IdentityProvider.token={token}"])
