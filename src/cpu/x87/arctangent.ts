export function fpatan(x87: import('./registers.ts').X87): void { x87.begin() }
