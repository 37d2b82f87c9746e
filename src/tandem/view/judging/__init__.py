"""People judge pairs of answers, blind: which is better, or is it a tie?

pairs      two files of answers, joined by id
blind      which items, in which order, on which side: from a seed and the annotator's name
ledger     every judgment, on disk before the page answers
told       shares with intervals, agreement, position bias; as tables and as a report
site       the pages
"""
