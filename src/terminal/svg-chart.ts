import type { EChartsOption } from 'echarts';

/**
 * A heading and a chart as inline SVG, which needs no script and no network. Loads the chart library (a megabyte) on
 * demand.
 */
export async function svgChart(
  title: string,
  size: { readonly width: number; readonly height: number },
  option: Record<string, unknown>,
): Promise<string> {
  return `<h2>${escapeHtml(title)}</h2><div class="scroll">${await svgOf(size, option)}</div>`;
}

/** The chart alone, which may be a file. */
export async function svgOf(
  size: { readonly width: number; readonly height: number },
  option: Record<string, unknown>,
): Promise<string> {
  const echarts = await import('echarts');
  const canvas = echarts.init(null, null, { renderer: 'svg', ssr: true, ...size });
  canvas.setOption({ animation: false, ...option } as EChartsOption);
  const svg = canvas.renderToSVGString();
  canvas.dispose();
  return svg;
}

export function escapeHtml(value: string): string {
  return value.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);
}
