/** Two decimal digits in a byte (or four in 16 bits), as the real-time clock and the interval timer count. */
export function toBcd(value: number): number {
  let bcd = 0
  for (let shift = 0, rest = value; rest > 0; shift += 4) {
    bcd |= rest % 10 << shift
    rest = Math.floor(rest / 10)
  }
  return bcd
}

/** The inverse. Digits above 9 count as they would in hardware: 0x1a is 20. */
export function fromBcd(bcd: number): number {
  return (bcd & 15) + (bcd >> 4 & 15) * 10 + (bcd >> 8 & 15) * 100 + (bcd >> 12 & 15) * 1000
}
