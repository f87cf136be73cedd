export function f2xm1(x87: import('./registers.ts').X87): void { x87.begin() }
