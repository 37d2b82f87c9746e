"""Text to token ids and back: train byte-level BPE, load any Hugging Face tokenizer, rebuild XGen's, check one."""

from tandem.tokenizer.findings import Finding, Report, check
from tandem.tokenizer.folder import load
from tandem.tokenizer.tokenizer import Tokenizer
from tandem.tokenizer.training import train
from tandem.tokenizer.xgen import xgen

__all__ = ["Finding", "Report", "Tokenizer", "check", "load", "train", "xgen"]
