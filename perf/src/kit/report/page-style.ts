/** Of flame graphs, which also stand alone: colours by what CPU is for, pale enough for dark letters on them, in the dark too. */
export const FLAME_STYLE = `.flame text{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1d1d1b;pointer-events:none}
.flame rect{stroke:#fdfdfc;stroke-opacity:.75;stroke-width:.6}
.f0{--c:#7fb6e0;fill:#7fb6e0}.f1{--c:#f2a36e;fill:#f2a36e}.f2{--c:#f0c95c;fill:#f0c95c}.f3{--c:#6cc9b0;fill:#6cc9b0}.f4{--c:#d9a3c9;fill:#d9a3c9}.f5{--c:#cfcdc6;fill:#cfcdc6}.f6{--c:#a09f98;fill:#a09f98}.f7{--c:#a9d6f2;fill:#a9d6f2}.f8{--c:#b5c77a;fill:#b5c77a}.f9{--c:#dba39c;fill:#dba39c}`;

/**
 * Colours keep apart for colour-blind readers (after Okabe and Ito), and systems have markers of their own form besides. Names in drawings
 * have darker shades where the colour alone would be too pale to read.
 */
export const PAGE_STYLE = `
:root{--ground:#fdfdfc;--ink:#1d1d1b;--soft:#62625d;--grid:#e7e6e2;--base:#a9a8a2;--card:#f5f4f1;--inner:#fff;
--A:#0868ac;--B:#d1530a;--Bp:#e69f00;--C:#00856a;--D:#a84f8e;--G:#85857f;--Gk:#3d3d3a;--sky:#4da9dc;--moss:#9db44a;--wine:#8c3b4a;
--B-text:#b04300;--Bp-text:#8a5e00;--C-text:#00735b;--G-text:#66665f;--good:#00735b;--bad:#b3261e;--warn:#fff1d6}
@media (prefers-color-scheme:dark){:root{--ground:#171716;--ink:#ecebe7;--soft:#a5a49d;--grid:#31312e;--base:#6c6b66;--card:#20201e;--inner:#171716;
--A:#5cb0f2;--B:#f58a4e;--Bp:#f0bb45;--C:#3dc5a0;--D:#dc95c8;--G:#93938c;--Gk:#d6d5cf;--sky:#9ad4f5;--moss:#b5c77a;--wine:#dba39c;
--B-text:#f58a4e;--Bp-text:#f0bb45;--C-text:#3dc5a0;--G-text:#a5a49d;--good:#3dc5a0;--bad:#ff8a7d;--warn:#3a2f14}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:30px;line-height:1.2;margin:8px 0}
h2{font-size:22px;line-height:1.25;margin:52px 0 8px;padding-top:14px;border-top:1px solid var(--grid)}
h3{font-size:16.5px;line-height:1.35;margin:0 0 10px;text-wrap:balance}
h3.shape{margin:28px 0 14px;color:var(--soft);font-weight:600}
.lead{color:var(--soft);max-width:70ch}
.warning{background:var(--warn);margin:16px 0;padding:10px 16px 10px 34px;border-radius:6px}
figure{margin:24px 0}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:20px 36px}
.plots figure{margin:12px 0;display:flex;flex-direction:column}
.plots figure svg{margin-top:auto}
svg{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.narrow{display:none}
@media (max-width:640px){.wide{display:none}.narrow{display:block}h1{font-size:26px}h2{font-size:20px;margin-top:40px}}
.caption+h3{margin-top:32px}
.caption{color:var(--soft);font-size:13px;line-height:1.45;margin:8px 0 0;max-width:100ch}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:14px;margin:0 0 10px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px;background:var(--c)}
.scroll{overflow-x:auto;margin-top:16px}
.broad{min-width:720px}
a{color:var(--A)}
table{border-collapse:collapse;font-size:14px;line-height:1.4;min-width:100%}
th{text-align:left;font-weight:600;color:var(--soft);border-bottom:1px solid var(--base);vertical-align:bottom}
th,td{padding:6px 16px 6px 0}
.tight td+td{white-space:nowrap}.tight td:first-child{min-width:17em}
td{border-bottom:1px solid var(--grid);vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--soft)}
.met{color:var(--good)}.missed{color:var(--bad)}
details{margin:16px 0}summary{cursor:pointer}details td,details th{white-space:nowrap;font-size:13px}
text{fill:var(--ink)}
.tick,.axis,.note{fill:var(--soft)}
.axis{font-size:12.5px}.note{font-size:12px}
.name{fill:var(--t,var(--c));font-weight:600}
.value{font-weight:600;font-variant-numeric:tabular-nums}
.inner{fill:var(--inner);font-size:12px}
.i-p2,.i-p7,.i-p8{fill:#1d1d1b}
.halo{paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}
line.grid{stroke:var(--grid)}
line.base{stroke:var(--base)}
line.mark{stroke:var(--soft);stroke-dasharray:4 4}
line.limit{stroke:var(--ink);stroke-width:2.5}
line.leader{stroke:var(--base);stroke-width:.8}
.whisker{fill:none;stroke:var(--ink);stroke-width:1.4}.whisker.under{stroke:var(--ground);stroke-width:4.5}
.line{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round}
.marker{fill:var(--c);stroke:var(--ground);stroke-width:1}
.band{fill:var(--c);opacity:.16}
.bar{fill:var(--c)}.part{stroke:var(--ground);stroke-width:1}
.pass.encode{fill:var(--A)}.pass.append{fill:var(--A)}.pass.rank{fill:var(--C)}
.pass.held{fill:none;stroke:var(--base);stroke-dasharray:3 3}
.s-A,.s-p0{--c:var(--A)}.s-B,.s-p1{--c:var(--B);--t:var(--B-text)}.s-Bprime,.s-p2{--c:var(--Bp);--t:var(--Bp-text)}
.s-C,.s-p3{--c:var(--C);--t:var(--C-text)}.s-D,.s-p4{--c:var(--D)}.s-G,.s-p5{--c:var(--G);--t:var(--G-text)}
.s-Gkv,.s-p6{--c:var(--Gk)}.s-p7{--c:var(--sky)}.s-p8{--c:var(--moss)}.s-p9{--c:var(--wine)}
${FLAME_STYLE}
.k-compute{--c:var(--A)}.k-serialise{--c:var(--Bp)}.k-copy{--c:var(--B)}.k-hop{--c:var(--D)}.k-queue{--c:var(--Gk)}
.k-network{--c:var(--sky)}.k-other{--c:var(--base)}
`;
