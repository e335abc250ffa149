import { UserError } from "../errors.js";

/** Of one currency, for a million tokens. */
export interface TokenPrices {
  prompt: number;
  completion: number;
}

export const costOf = (
  prices: TokenPrices,
  usage: { promptTokens: number; completionTokens: number },
): number => (prices.prompt * usage.promptTokens + prices.completion * usage.completionTokens) / 1e6;

/** Money that may be spent. What a request may cost at the most is set aside before it is sent. */
export class Budget {
  spent = 0;
  private reserved = 0;
  private waiting: (() => void)[] = [];

  constructor(private readonly most = Number.POSITIVE_INFINITY) {}

  /**
   * Sets an amount aside; where others have to settle first, waits for them.
   *
   * @returns a function that says what it came to
   * @throws UserError where the amount would exceed the budget
   */
  async reserve(amount: number): Promise<(actual: number) => void> {
    while (this.spent + this.reserved + amount > this.most) {
      if (this.reserved === 0) {
        throw new UserError(
          `the budget of ${this.most} is used up: ${money(this.spent)} is spent, and the next request may cost ${money(amount)}`,
          { hint: "What was answered is kept. Give a larger budget, or ask for fewer tokens.", exitCode: 1 },
        );
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.reserved += amount;
    return (actual) => {
      // Sums of many amounts must not leave a rest that is nobody's.
      this.reserved = Math.max(0, this.reserved - amount);
      if (this.reserved < 1e-12) this.reserved = 0;
      this.spent += actual;
      const { waiting } = this;
      this.waiting = [];
      for (const wake of waiting) wake();
    };
  }
}

const money = (amount: number) => String(Number(amount.toPrecision(3)));
