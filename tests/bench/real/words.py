# Counts words of a made-up text; prints how many lines it has done, twice a second.
import time

words = ["alpha", "beta", "gamma", "delta", "epsilon"]
done, shown = 0, time.monotonic()


def line(n):
    return " ".join(words[(n * 7 + i * i) % 5] for i in range(20))


def count(text, table):
    for word in text.split():
        table[word] = table.get(word, 0) + 1


table = {}
while True:
    for _ in range(200):
        count(line(done), table)
        done += 1
    if time.monotonic() - shown > 0.5:
        shown = time.monotonic()
        print(done, flush=True)
