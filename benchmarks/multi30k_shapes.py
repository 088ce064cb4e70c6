"""The shapes of Multi30k's training split (German to English), as constants.

Got once from `data/task1/raw/train.{de,en}.gz` of github.com/multi30k/dataset at commit
a3d2e0d26b56f3846f66a952536ffed4e401d05a, 29,000 pairs: every line lower-cased and split at
whitespace; the vocabulary holds the words that occur at least twice, and 4 special symbols.
Nothing is read at run time.
"""

import random

SOURCE_VOCABULARY_SIZE = 9_597
TARGET_VOCABULARY_SIZE = 7_704

# English words, fewest German words | pairs with so many German words, one more, two more …
PAIRS_BY_LENGTH = """
 3  2 | 1 2
 4  3 | 1 15 3 2
 5  2 | 2 7 45 64 35 12 4 2
 6  3 | 7 40 205 295 119 42 19 10 3 1
 7  3 | 1 37 181 527 536 271 102 45 13 4 2
 8  1 | 2 0 1 14 83 345 725 687 373 150 75 26 5 2 1
 9  3 | 1 5 42 181 542 886 816 426 178 72 33 10 6 1
10  4 | 3 14 79 239 590 927 815 476 200 85 36 14 7 1 3 1
11  5 | 6 26 102 312 634 837 682 393 200 98 25 17 6 2
12  6 | 14 44 127 334 589 651 578 343 137 62 34 11 8 6 1 1
13  5 | 2 7 11 49 145 275 519 536 479 278 132 63 35 9 6 2 2 0 1 0 1
14  6 | 1 5 15 63 142 253 406 454 363 220 104 53 28 13 5 1
15  6 | 1 1 7 19 46 111 220 299 323 278 138 96 44 20 8 3 3 1 0 1
16  8 | 3 6 23 50 100 175 248 216 197 112 62 24 16 8 2 2 1
17  8 | 1 4 11 16 43 92 118 185 162 138 74 48 28 19 3 4 1
18  9 | 2 4 5 17 34 76 111 129 113 83 64 33 12 12 1 0 2 0 0 2
19  8 | 1 0 0 4 7 12 29 56 77 93 86 64 45 24 16 6 7 1
20 11 | 2 0 4 8 26 40 41 55 78 42 39 14 3 6 1 3
21 11 | 1 2 5 5 13 9 26 30 23 34 29 23 12 4 3 2 4 1 1
22 12 | 1 1 1 8 7 16 22 26 42 14 23 10 17 4 2 0 1
23 15 | 1 1 7 13 19 16 16 17 11 8 5 1 1 1
24 14 | 2 4 1 1 3 9 8 7 15 8 5 10 3 4 0 1
25 14 | 2 0 1 3 2 0 5 12 4 8 4 3 4 3 2 0 2 1 1
26 15 | 1 0 0 0 2 2 4 6 4 8 3 7 2 0 2 1 1
27 19 | 2 0 2 2 2 4 3 4 2 1 0 0 1
28 22 | 2 0 1 1 3 0 0 2 0 0 1
29 22 | 1 1 2 3 0 2 2 1 0 1 2
30 22 | 1 0 0 1 2 2 1 0 1 1
31 24 | 1 1 1 0 0 2 1 1 2 0 0 0 0 0 0 1
32 25 | 1 0 1 2 1 1 0 0 0 0 1
33 23 | 1 0 0 1 1 0 0 1 0 1 0 1
34 30 | 1 1 2
36 33 | 1 0 0 0 1 1
37 28 | 1
"""


def sentence_lengths() -> list[tuple[int, int]]:
    """(source, target) length of all 29,000 pairs, <eos> counted, in one fixed random order."""
    pairs = []
    for line in PAIRS_BY_LENGTH.strip().splitlines():
        lengths, counts = line.split(" | ")
        target, fewest = map(int, lengths.split())
        for source, count in enumerate(map(int, counts.split()), start=fewest):
            pairs += [(source + 1, target + 1)] * count
    random.Random(0).shuffle(pairs)
    return pairs
