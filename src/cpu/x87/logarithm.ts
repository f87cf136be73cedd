export function fyl2x(x87: import('./registers.ts').X87): void { x87.begin() }
export function fyl2xp1(x87: import('./registers.ts').X87): void { x87.begin() }
