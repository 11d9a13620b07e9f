# The deeper tests, which need more than Rust, Python and a C compiler. What every change must pass is .ci/run.

# Ask a real server (llamacpp or vllm) with every experiment of the serving suite and compare what it counted with what the client did.
test-servers server="llamacpp" *options:
    python3 python/servers/check.py {{server}} {{options}}
