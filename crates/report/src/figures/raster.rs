//! PNG from a scene. `kuva`'s raster backend draws thick lines without smoothing their edges; drawn at twice the size and
//! averaged over squares of four pixels they are smooth.

use std::io::Cursor;

use kuva::RasterBackend;
use kuva::render::render::Scene;

/// Pixels for one unit of the SVG: sharp in print at a column's width.
const SCALE: f32 = 2.0;
/// Drawn this many times larger than kept.
const OVERSAMPLING: usize = 2;

/// The scene as an opaque PNG. Fails with the message of the backend or of the encoder.
pub(super) fn render(scene: &Scene) -> Result<Vec<u8>, String> {
    let large = RasterBackend::new().with_scale(SCALE * OVERSAMPLING as f32).render_scene(scene)?;
    let mut reader = png::Decoder::new(Cursor::new(large)).read_info().map_err(|e| e.to_string())?;
    let size = reader.output_buffer_size().ok_or("the figure is too large")?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(|e| e.to_string())?;
    let channels = info.color_type.samples();
    if info.bit_depth != png::BitDepth::Eight || channels < 3 {
        return Err(format!("the raster backend returned {:?} pixels", info.color_type));
    }
    let (width, height) = (info.width as usize / OVERSAMPLING, info.height as usize / OVERSAMPLING);
    let rgb = average(&pixels, info.line_size, channels, width, height);

    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
    writer.write_image_data(&rgb).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())?;
    Ok(out)
}

/// Red, green and blue of each square, averaged. (In the encoded values, as browsers do when they scale a picture.)
fn average(pixels: &[u8], line: usize, channels: usize, width: usize, height: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0u32;
                for dy in 0..OVERSAMPLING {
                    for dx in 0..OVERSAMPLING {
                        let at = (y * OVERSAMPLING + dy) * line + (x * OVERSAMPLING + dx) * channels + channel;
                        sum += u32::from(pixels[at]);
                    }
                }
                let count = (OVERSAMPLING * OVERSAMPLING) as u32;
                out.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged() {
        // Two lines of four RGBA pixels: a black and a white square, then a half-covered one.
        let (k, w) = ([0, 0, 0, 255], [255, 255, 255, 255]);
        let pixels: Vec<u8> = [k, k, w, k, k, k, w, k].concat();
        assert_eq!(average(&pixels, 16, 4, 2, 1), [0, 0, 0, 128, 128, 128]);
    }

    #[test]
    fn a_scene_keeps_its_size_and_background() {
        let png = render(&Scene::new(30.0, 20.0)).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(&png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (60, 40));
        assert!(pixels.iter().all(|v| *v == 255));
    }
}
