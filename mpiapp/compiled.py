"""How everything is compiled."""

# numpy's error model, because the check for a zero divisor keeps loops from using vector
# instructions; of fast maths only what those need, so that NaN and inf keep their meaning.
OPTIONS = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
