/*
 * English text of any size for benches, made from files of the user's own data folder where they are there (GSM8K, AG News), else
 * from the words below: sentences in random order, in which numbers are drawn anew and one word of twenty is replaced by a new one,
 * so that new kinds of words keep coming at about the rate of real text (Heaps' law).
 */
