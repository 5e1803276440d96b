/** A rolling hash of 53 bits: of a million states, two are taken for one with a chance of 1 in 18,000. */
export class Digest {
  #low = 0xdeadbeef;
  #high = 0x41c6ce57;

  add(text: string): this {
    let low = this.#low;
    let high = this.#high;
    for (let at = 0; at < text.length; at += 1) {
      const unit = text.charCodeAt(at);
      low = Math.imul(low ^ unit, 2_654_435_761);
      high = Math.imul(high ^ unit, 1_597_334_677);
    }
    // Where one text ends and the next one begins counts too.
    this.#low = Math.imul(low ^ 0x1_f123, 2_654_435_761) ^ (low >>> 13);
    this.#high = Math.imul(high ^ 0x1_f123, 1_597_334_677) ^ (high >>> 15);
    return this;
  }

  get value(): number {
    let low = Math.imul(this.#low ^ (this.#low >>> 16), 2_246_822_507);
    low ^= Math.imul(this.#high ^ (this.#high >>> 13), 3_266_489_909);
    let high = Math.imul(this.#high ^ (this.#high >>> 16), 2_246_822_507);
    high ^= Math.imul(this.#low ^ (this.#low >>> 13), 3_266_489_909);
    return 4_294_967_296 * (2_097_151 & high) + (low >>> 0);
  }
}
