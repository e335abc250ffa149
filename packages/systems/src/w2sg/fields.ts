import { z } from "zod";

/** A whole number from 1 on. */
export const count = z.int().min(1);

/** At least one, and none twice: what has one name has one row in every table. `nameOf` gives what must differ. */
export const distinct = <Item extends z.ZodType>(
  item: Item,
  what: string,
  nameOf: (item: z.output<Item>) => unknown = (value) => value,
) =>
  z
    .array(item)
    .min(1)
    .refine((items) => new Set(items.map(nameOf)).size === items.length, `each ${what} only once`);
