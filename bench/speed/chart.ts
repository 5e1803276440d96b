/** Bars of throughput, one group for each case, as SVG. */
import { CONTENDERS, type ContenderName } from './contenders/contenders.ts';
import type { CaseResult } from './measure.ts';
import { titleOf } from './report.ts';
import { spreadOf, type Spread } from './statistics.ts';

const BAR = 15;
const GAP = 26;
const LEFT = 330;
const WIDTH = 560;
const RIGHT = 130;
const COLORS: Readonly<Record<ContenderName, string>> = {
  'local-commits': '#9aa5b1',
  'hand-parallel': '#e0a458',
  'hand-sequential': '#c8553d',
  pgxa: '#2f6690',
  plain: '#cbd2d9',
  'pgxa-one-writer': '#3a9188',
};

interface Bar {
  readonly contender: ContenderName;
  readonly rate: Spread;
}

/** Each group has its own scale: a case is compared with itself, not with the others. */
export function chartOf(cases: readonly CaseResult[]): string {
  let y = 40;
  const parts: string[] = [
    text(
      12,
      22,
      'Transactions per second: median of the rounds, with the lowest and the highest',
      15,
    ),
  ];
  for (const one of cases) {
    const bars = barsOf(one);
    const most = Math.max(...bars.map(({ rate }) => rate.max));
    parts.push(text(12, y + 12, titleOf(one.case), 13));
    y += 20;
    for (const bar of bars) {
      parts.push(...barOf(bar, y, WIDTH / most));
      y += BAR + 4;
    }
    y += GAP;
  }
  const width = LEFT + WIDTH + RIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}">`,
    `<rect width="${width}" height="${y}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function barsOf({ results }: CaseResult): Bar[] {
  return [...results].map(([contender, { rounds }]) => ({
    contender,
    rate: spreadOf(rounds.map(({ transactionsPerSecond }) => transactionsPerSecond)),
  }));
}

function barOf({ contender, rate }: Bar, y: number, scale: number): string[] {
  const middle = y + BAR / 2;
  const end = LEFT + rate.median * scale;
  const [from, to] = [LEFT + rate.min * scale, LEFT + rate.max * scale];
  return [
    text(LEFT - 8, y + 11, CONTENDERS[contender].title, 11, 'end'),
    `<rect x="${LEFT}" y="${y}" width="${px(end - LEFT)}" height="${BAR}" fill="${COLORS[contender]}"/>`,
    `<path d="M${px(from)} ${middle}H${px(to)}M${px(from)} ${y + 4}v${BAR - 8}M${px(to)} ${y + 4}v${BAR - 8}" stroke="#1f2933"/>`,
    text(Math.max(end, to) + 6, y + 11, rate.median.toFixed(0), 11),
  ];
}

function text(x: number, y: number, content: string, size: number, anchor = 'start'): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return (
    `<text x="${px(x)}" y="${y}" font-family="sans-serif" font-size="${size}" fill="#1f2933" ` +
    `text-anchor="${anchor}">${escaped}</text>`
  );
}

const px = (value: number): string => value.toFixed(1);
